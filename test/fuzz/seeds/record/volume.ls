volume.ls
{"pool": "tiny"}
