"""The wire vocabulary of the API, shared by manifest, client and service: messages, rules, codes, signature. No I/O."""
