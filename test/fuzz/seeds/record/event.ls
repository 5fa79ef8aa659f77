event.ls
{"since": 0, "object": "tiny", "limit": 1000}
