"""What apps see: scope and environ, receive and send, the Task of a request, start_response and its friends."""
