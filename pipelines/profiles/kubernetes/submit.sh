#!/bin/sh
# Send one job: submit.sh CPUS MEMORY_MB MINUTES JOBSCRIPT. Prints its name, as in job.batch/scdiff-x7k2p.
set -eu
: "${SCDIFF_IMAGE:?set it to the image of the jobs, with Python, Snakemake and scdiff}"
: "${SCDIFF_CLAIM:?set it to the name of the persistent volume claim with data, results and this clone}"
: "${SCDIFF_MOUNT:?set it to the folder where the volume is mounted, here and in the jobs}"
kubectl create --output name --filename - <<EOF
apiVersion: batch/v1
kind: Job
metadata:
  generateName: scdiff-
  labels: {app: scdiff}
spec:
  backoffLimit: 0 # a second chance, with more memory and time, is for Snakemake to give
  ttlSecondsAfterFinished: 86400
  template:
    spec:
      restartPolicy: Never
      activeDeadlineSeconds: $(($3 * 60))
      containers:
        - name: scdiff
          image: "$SCDIFF_IMAGE"
          command: [/bin/sh, "$4"]
          workingDir: "$PWD"
          resources:
            requests: {cpu: "$1", memory: "$2M"}
            limits: {memory: "$2M"}
          volumeMounts: [{name: work, mountPath: "$SCDIFF_MOUNT"}]
      volumes: [{name: work, persistentVolumeClaim: {claimName: "$SCDIFF_CLAIM"}}]
EOF
