"""Training with Lightning: `run.train` starts a run, `resume.resume` resumes one, `resume.complete` does either."""
