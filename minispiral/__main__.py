"""``python -m minispiral`` is the ``minispiral`` command."""

from minispiral.cli import main

if __name__ == "__main__":
    main(prog_name="minispiral")
