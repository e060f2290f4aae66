#!/usr/bin/env bash
# CloudWatch Logs: an EKS cluster's audit events of a time span, one JSON object a line.
#
#   ./cloudwatch.sh prod-eu-1 2026-11-01T00:00:00Z 2026-11-02T00:00:00Z > day.jsonl
#   meshledger ingest --archive ./audit --cluster prod-eu-1 day.jsonl
#
# Stands on the AWS CLI's documentation (logs filter-log-events) and on EKS's, "Send control plane
# logs to CloudWatch Logs". Not run here: no account was at hand.
#
# - It prints the messages alone, so the cluster's name must be given to `ingest`. A subscription's
#   payload has it in the name of its log group.
# - Take whole spans that are over by some minutes, each once: events arrive late.
set -euo pipefail

cluster=${1:?the cluster}
from=$(date --utc --date "${2:?the first time}" +%s%3N)
to=$(date --utc --date "${3:?the time to stop before}" +%s%3N)

# The end is inclusive, hence one less.
aws logs filter-log-events \
    --log-group-name "/aws/eks/$cluster/cluster" \
    --log-stream-name-prefix kube-apiserver-audit- \
    --start-time "$from" --end-time "$((to - 1))" \
    --output json --query 'events[].message' |
    jq -r '.[]'
