"""The contract between client and gateway; imports nothing of ours."""
