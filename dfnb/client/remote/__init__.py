"""The same client over HTTP: for another kernel's hub, another process's, or a Durable Functions app; and `follow` for any 202."""
