"""`python -m automl_wf` is the command `automl-wf`."""

from __future__ import annotations

from automl_wf.cli import main

if __name__ == "__main__":
    main()
