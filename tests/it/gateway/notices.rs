//! Texts and events on their way out, to a real mail server and to HTTP receivers of the test's own.
