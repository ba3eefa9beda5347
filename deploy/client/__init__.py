"""Jobs on a Ray cluster, through Ray's Jobs API.

client.py           submit, list, watch, stop, fetch        cluster_job.py     a submission's record
nodes.py            what a cluster's nodes offer to jobs
package.py          what is sent with a submission          submission_ids.py  which id it gets
archive.py          a job's folder as it arrives here       commands.py        what the cluster runs
send.py             the same folder, printed on the cluster
connection.py       HTTP and web sockets                    auth.py            the token
patience.py         how long one that is away is asked  post.py            how a submission is sent

Everything that fails raises deploy.errors.ClusterError.
"""

from deploy.client.auth import Token, find_token
from deploy.client.client import Client
from deploy.client.cluster_job import ClusterJob, State, Submission
from deploy.client.nodes import Node

__all__ = ["Client", "ClusterJob", "Node", "State", "Submission", "Token", "find_token"]
