#!/usr/bin/env bash
# A sweep on an allocation of SLURM: a Ray head on the first node, workers on all.
#   EDGEBENCH_STORAGE=... EDGEBENCH_TRACKING_URI=... sbatch deploy/slurm.sh my.yaml 16
# Not run where it was written (no SLURM there): checked by bash -n and shellcheck.
#SBATCH --job-name=edgebench
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail
sweep=$1 workers=$2
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$first:6379
export RAY_USAGE_STATS_ENABLED=0
srun --nodes=1 --ntasks=1 --nodelist="$first" --overlap \
  ray start --head --port 6379 --num-cpus "$SLURM_CPUS_PER_TASK" --block &
sleep 15
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
    --exclude="$first" --overlap \
    ray start --address "$address" --num-cpus "$SLURM_CPUS_PER_TASK" --block &
fi
# The script runs on the first node. SIGTERM two minutes before the end closes the study cleanly;
# the same command in the next allocation goes on with it.
edgebench sweep "$sweep" --pool "ray://$address" --workers "$workers" &
coordinator=$!
trap 'kill -TERM "$coordinator"' TERM
wait "$coordinator" || wait "$coordinator"
