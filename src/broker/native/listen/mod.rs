//! Where clients come from: TCP, TLS, WebSocket and Unix sockets behind one kind of stream.
