"""The test bed: real Kafka, a real kube-apiserver with its etcd, and a TCP proxy that cuts connections.

All on loopback, in temporary folders, and gone with the process that started them.
"""
