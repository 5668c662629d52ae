#!/usr/bin/env bash
# Test under Slurm: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]
# CHECKPOINT may be "" to test the model as built. GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS set the job's size.
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]" >&2; exit 2; }
partition=$1 job=$2 config=$3 checkpoint=$4
shift 4

# SRUN_ARGS holds several words on purpose.
# shellcheck disable=SC2086
srun -p "$partition" --job-name="$job" --ntasks="${GPUS:-4}" --ntasks-per-node="${GPUS_PER_NODE:-4}" \
    --gres="gpu:${GPUS_PER_NODE:-4}" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/test.py" "$config" ${checkpoint:+"$checkpoint"} --launcher slurm "$@"
