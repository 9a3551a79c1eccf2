#!/bin/sh
# Say how a job stands: running, success or failed. Where the cluster does not answer, it is taken to run on.
counts=$(kubectl get "$1" --ignore-not-found --output 'jsonpath=succeeded:{.status.succeeded} failed:{.status.failed}') || counts=unknown
case $counts in
  *succeeded:[1-9]*) echo success ;;
  *failed:[1-9]* | "") echo failed ;;
  *) echo running ;;
esac
