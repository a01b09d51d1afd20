"""The commands of `seq2seq`, one module each, with `main(argv: list[str]) -> int | None`; cli.COMMANDS lists them."""
