#!/bin/sh
# get-text.sh - every twelfth document of recipes/quality's text, as data/byte_lm/train.txt; held out
# is what is held out there.  Makes data/quality first, if it is not there.
set -eu
cd "$(dirname "$0")/../.."
recipes/quality/get-text.sh data/quality
mkdir -p data/byte_lm
LC_ALL=C awk 'BEGIN { RS = ORS = "\f" } NR % 12 == 1' data/quality/train.txt >data/byte_lm/train.txt
ls -l data/byte_lm
