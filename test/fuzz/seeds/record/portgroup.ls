portgroup.ls
{"switch": "tiny"}
