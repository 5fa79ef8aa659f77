job.ls
{"state": "queued", "object": "tiny", "limit": 100, "cursor": "tiny"}
