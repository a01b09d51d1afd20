"""Which words does a run's attention link while it writes the references? Gold links speak of these words, and of no others."""

import json
from itertools import chain

from seq2seq.data.word_links import own_words
from seq2seq.errors import DataError
from seq2seq.evaluation.alignment import LINKS, Link, parse_links, word_links
from seq2seq.evaluation.attention_records import DAMAGED
from seq2seq.evaluation.evaluate import Made, believed
from seq2seq.evaluation.testset import TestSet
from seq2seq.utils.files import write_json

FORCED = "forced.json"


def forced_links(made: Made, test: TestSet) -> dict[str, list[set[Link]]]:
    """For each row of LINKS the word links of each pair, by the attention while the first references are written  (Luong et al.
    2015, section 5.4). From the run if they are there for the same text and weights, else kept in it. DataError for a run that has
    neither them nor weights, or whose tokenizer makes other words of the text than gold links count."""
    path, depends = made.folder(test.name) / FORCED, made.depends(test) | {"search": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        depends["weights"] = believed(depends["weights"], found["depends"]["weights"])
        if found["depends"] == depends and all(len(found["links"][kind]) == len(test.sources) for kind in LINKS):
            return {kind: [set(parse_links(line).sure) for line in found["links"][kind]] for kind in LINKS}
    except DAMAGED:
        pass
    if made.runs[0].gone and not path.exists():
        raise DataError(f"neither weights nor {FORCED}")
    own = made.runs[0].vocabularies
    for text, tokenizer in chain(((s, own.source) for s in test.sources), ((t, own.target) for t in test.references[0])):
        own_words(text, tokenizer)
    forced = made.translator.forced(zip(test.sources, test.references[0], strict=True), attention=True)
    lines = [[word_links(one, kind) for kind in LINKS] for one in forced]
    links = {kind: [row[i] for row in lines] for i, kind in enumerate(LINKS)}
    write_json(path, {"depends": depends, "links": links})
    return {kind: [set(parse_links(line).sure) for line in rows] for kind, rows in links.items()}
