"""The thin asyncio shells of the data path: they carry bytes and time to `core` and back.

No task, future, queue or timer per request. What waits has a deadline, and one sweep looks at
all deadlines.
"""
