#!/bin/sh
# check_jinja.sh - tests/data/chat.json is what jinja2 gives.  Skipped without KRAIT_PYTHON (a Python with jinja2).
"${KRAIT_PYTHON:-python3}" tests/chat_oracle.py check
