"""The server behind `seq2seq serve`: batches across requests, the models served, texts of many sentences, HTTP."""
