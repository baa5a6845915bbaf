"The drawings of the book: `python tools/diagrams [NAME ...]` writes them to nbs/images, `--check` compares."
