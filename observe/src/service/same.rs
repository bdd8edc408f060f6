//! What is the same for all followers: a record that many get is encoded once, and kept once while it
//! waits for them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use axum::{Router, body::Body, extract, response::Response, routing::post};
use prost::Message as _;
use tonic::{
    Request, Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
    codegen::{BoxFuture, Bytes},
    server::{Grpc, ServerStreamingService},
};
use tonic_prost::{ProstCodec, ProstDecoder};

use super::{Observer, REQUEST, response};
use crate::api::{
    flow::Flow,
    observer::{GetFlowsRequest, GetFlowsResponse},
};

/// Records that followers are at together: who is further behind than this has its own.
const TOGETHER: usize = 256;

/// An answer on its way to a client.
#[derive(Debug)]
pub enum Answer {
    /// For this client alone.
    Own(Box<GetFlowsResponse>),
    /// A record as it is, for every follower.
    Same(Arc<Encoded>),
}

/// A record with what it is on the wire, once somebody gets it.
#[derive(Debug)]
pub struct Encoded {
    flow: Arc<Flow>,
    bytes: OnceLock<Bytes>,
}

/// The records that followers have got last, by their numbers in the ring.
#[derive(Debug, Default)]
pub struct Same(Mutex<VecDeque<(u64, Arc<Encoded>)>>);

// === impl Same ===

impl Same {
    /// A record of the ring, as all who get it now get it.
    pub fn of(&self, number: u64, flow: &Arc<Flow>) -> Answer {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = last.partition_point(|(other, _)| *other < number);
        let there = last.get(place).filter(|(other, _)| *other == number);
        // A record that was changed in the ring since then is another one.
        let same = there.filter(|(_, known)| Arc::ptr_eq(&known.flow, flow));
        if let Some((_, known)) = same {
            return Answer::Same(Arc::clone(known));
        }
        let new = Arc::new(Encoded {
            flow: Arc::clone(flow),
            bytes: OnceLock::new(),
        });
        match there.is_some() {
            true => last[place].1 = Arc::clone(&new),
            // Who is behind all of them does not push out what the others are at.
            false if place == 0 && last.len() == TOGETHER => {}
            false => last.insert(place, (number, Arc::clone(&new))),
        }
        if last.len() > TOGETHER {
            last.pop_front();
        }
        Answer::Same(new)
    }

    /// How many of them have been encoded.
    #[cfg(test)]
    pub fn encoded(&self) -> usize {
        let last = self.0.lock().unwrap();
        let encoded = |(_, one): &&(u64, Arc<Encoded>)| one.bytes.get().is_some();
        last.iter().filter(encoded).count()
    }
}

// === impl Answer ===

impl From<GetFlowsResponse> for Answer {
    fn from(own: GetFlowsResponse) -> Self {
        Self::Own(Box::new(own))
    }
}

impl From<Answer> for GetFlowsResponse {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Own(own) => *own,
            Answer::Same(same) => response(Flow::clone(&same.flow)),
        }
    }
}

// === impl Encoded ===

impl Encoded {
    fn bytes(&self) -> &Bytes {
        let encode = || response(Flow::clone(&self.flow)).encode_to_vec().into();
        self.bytes.get_or_init(encode)
    }
}

/// Reads requests, and writes what is encoded already.
#[derive(Debug, Default)]
struct Wire;

#[derive(Debug)]
struct Writer;

impl Codec for Wire {
    type Encode = Answer;
    type Decode = GetFlowsRequest;
    type Encoder = Writer;
    type Decoder = ProstDecoder<GetFlowsRequest>;

    fn encoder(&mut self) -> Self::Encoder {
        Writer
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<GetFlowsResponse, GetFlowsRequest>::raw_decoder(BufferSettings::default())
    }
}

impl Encoder for Writer {
    type Item = Answer;
    type Error = Status;

    fn encode(&mut self, answer: Answer, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let written = match &answer {
            Answer::Own(own) => own.encode(into),
            Answer::Same(same) => {
                bytes::BufMut::put_slice(into, same.bytes());
                Ok(())
            }
        };
        written.map_err(|error| Status::internal(error.to_string()))
    }
}

/// `GetFlows` of one node.
struct GetFlows(Observer);

impl ServerStreamingService<GetFlowsRequest> for GetFlows {
    type Response = Answer;
    type ResponseStream = super::Answers<Answer>;
    type Future = BoxFuture<tonic::Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<GetFlowsRequest>) -> Self::Future {
        let observer = self.0.clone();
        Box::pin(async move { observer.flows(request).await.map(tonic::Response::new) })
    }
}

/// The way in for clients that followers share with; it goes before the generated one.
pub fn router(observer: Observer) -> Router {
    let answer = async move |request: extract::Request| -> Response {
        let mut grpc = Grpc::new(Wire).apply_max_message_size_config(Some(REQUEST), None);
        let answered = grpc.server_streaming(GetFlows(observer), request).await;
        answered.map(Body::new)
    };
    Router::new().route("/observer.Observer/GetFlows", post(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(answer: Answer) -> Arc<Encoded> {
        match answer {
            Answer::Same(same) => same,
            Answer::Own(own) => panic!("{own:?}"),
        }
    }

    #[test]
    fn a_record_is_kept_once_for_all_who_are_at_it() {
        let same = Same::default();
        let flow = Arc::new(Flow::default());
        let [one, other] = [(); 2].map(|()| shared(same.of(7, &flow)));
        assert!(Arc::ptr_eq(&one, &other));
        assert!(std::ptr::eq(one.bytes(), other.bytes()));
        // It was changed in the ring.
        let changed = Arc::new(Flow {
            uuid: "u".into(),
            ..Flow::default()
        });
        let changed = shared(same.of(7, &changed));
        assert!(!Arc::ptr_eq(&one, &changed));
        assert_ne!(one.bytes(), changed.bytes());
        for number in 0..1000 {
            same.of(number, &flow);
        }
        let newest = shared(same.of(999, &flow));
        // Somebody who is far behind.
        for number in 0..500 {
            same.of(number, &flow);
        }
        assert!(Arc::ptr_eq(&newest, &shared(same.of(999, &flow))));
        assert_eq!(same.0.lock().unwrap().len(), TOGETHER);
    }
}
