//! What a refusal left unread of a request. A server that answers before it has the whole request and closes has the
//! client find a broken connection instead of the answer, where it writes head and body one after the other.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Frame, SizeHint};

use super::BODY_BYTES_MAX;

/// Longest wait for the rest of a request that is answered already.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a body goes that nobody reads any more.
type Left = Arc<Mutex<Option<Body>>>;

/// A body that is left behind when it is dropped before its end.
struct Watched {
    body: Option<Body>,
    left: Left,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = unread;
    }
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// Answers when the request was read, as far as it has a sensible size and comes soon.
pub(super) async fn read_on(request: Request, next: Next) -> Response {
    // Who asks first whether to send it is told by the answer.
    if request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let left = Left::default();
    let watched = |body| {
        Body::new(Watched {
            body: Some(body),
            left: Arc::clone(&left),
        })
    };
    let answer = next.run(request.map(watched)).await;
    let unread = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(body) = unread {
        let mut rest = Limited::new(body, BODY_BYTES_MAX);
        let reading = async { while let Some(Ok(_)) = rest.frame().await {} };
        drop(tokio::time::timeout(PATIENCE, reading).await);
    }
    answer
}
