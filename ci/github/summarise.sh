#!/usr/bin/env bash
# Merge the downloaded runs into summary/, and show it as the step's summary.
set -euo pipefail

shopt -s nullglob
# `latest` points at one of the others.
runs=()
for events in run-*/*/events.jsonl; do
  run=$(dirname "$events")
  [ "$(basename "$run")" = latest ] || runs+=("$run")
done
if [ ${#runs[@]} -eq 0 ]; then
  echo "no run was delivered by any job" >&2
  exit 3
fi

code=0
meshsweep report "${runs[@]}" --expect jobs/jobs.json --into summary || code=$?
cat summary/summary.md >> "${GITHUB_STEP_SUMMARY:-/dev/stdout}"
exit "$code"
