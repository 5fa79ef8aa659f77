mirror.ls
{"switch": "tiny"}
