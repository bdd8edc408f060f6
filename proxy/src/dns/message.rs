//! DNS messages as far as policy looks into them (RFC 1035).

use std::net::IpAddr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{Name, RData},
};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Number by which the answer is told.
    pub id: u16,
    /// The name, in lower case and without a final dot.
    pub name: String,
    message: Message,
}

/// An address that a name resolves to, and for how many seconds.
pub type Address = (IpAddr, u32);

/// What a server's answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the name resolves to.
    pub addresses: Vec<Address>,
    /// Names that it leads to, without a final dot.
    pub aliases: Vec<String>,
    /// Its code (RFC 6895, 2.3).
    pub code: u16,
    /// Types of its records, each once, in order.
    pub types: Vec<String>,
}

/// Reads a query. `None`: it is not one question that can be judged.
pub fn question(bytes: &[u8]) -> Option<Question> {
    let message = Message::from_vec(bytes).ok()?;
    let [query] = message.queries.as_slice() else {
        return None;
    };
    if message.metadata.message_type != MessageType::Query
        || message.metadata.op_code != OpCode::Query
    {
        return None;
    }
    Some(Question {
        id: message.metadata.id,
        name: text(query.name()),
        message,
    })
}

impl Question {
    /// The answer to a query that policy denies.
    pub fn refused(&self) -> Vec<u8> {
        self.failed(ResponseCode::Refused)
    }

    /// The answer where the server gives none.
    pub fn unanswered(&self) -> Vec<u8> {
        self.failed(ResponseCode::ServFail)
    }

    fn failed(&self, code: ResponseCode) -> Vec<u8> {
        let mut answer = Message::error_msg(self.id, OpCode::Query, code);
        answer.metadata.recursion_desired = self.message.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_queries(self.message.queries.iter().cloned());
        // A name that was read can be written; without the question it is still an answer.
        answer.to_vec().unwrap_or_default()
    }

    /// The types that are asked for, such as `AAAA`.
    pub fn types(&self) -> Vec<String> {
        let queries = self.message.queries.iter();
        queries
            .map(|query| query.query_type().to_string())
            .collect()
    }

    /// What a server's answer to this question says. `None`: it is no answer to it.
    pub fn answer(&self, bytes: &[u8]) -> Option<Answer> {
        let message = Message::from_vec(bytes).ok()?;
        let same = message.metadata.message_type == MessageType::Response
            && message.metadata.id == self.id
            && (message.queries.is_empty() || message.queries == self.message.queries);
        if !same {
            return None;
        }
        // Only what the name leads to, by aliases: an answer may carry anything besides.
        let mut names: Vec<&Name> = self.message.queries.iter().map(|q| q.name()).collect();
        let mut answer = Answer {
            code: message.metadata.response_code.into(),
            ..Answer::default()
        };
        for record in &message.answers {
            let kind = record.record_type().to_string();
            if !answer.types.contains(&kind) {
                answer.types.push(kind);
            }
            if !names.contains(&&record.name) {
                continue;
            }
            match &record.data {
                RData::CNAME(alias) => {
                    names.push(&alias.0);
                    answer.aliases.push(text(&alias.0));
                }
                RData::A(address) => answer.addresses.push((IpAddr::V4(address.0), record.ttl)),
                RData::AAAA(address) => answer.addresses.push((IpAddr::V6(address.0), record.ttl)),
                _ => {}
            }
        }
        Some(answer)
    }
}

fn text(name: &Name) -> String {
    let name = name.to_ascii().to_ascii_lowercase();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::{
        op::Query,
        rr::{
            Record, RecordType,
            rdata::{A, CNAME},
        },
    };
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn query(text: &str) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.add_query(Query::query(name(text), RecordType::A));
        message.to_vec().unwrap()
    }

    fn answer(question: &str, records: &[(&str, RData)]) -> Vec<u8> {
        let mut message = Message::response(7, OpCode::Query);
        message.add_query(Query::query(name(question), RecordType::A));
        for (owner, data) in records {
            message.add_answer(Record::from_rdata(name(owner), 30, data.clone()));
        }
        message.to_vec().unwrap()
    }

    #[test]
    fn addresses_are_those_that_the_name_leads_to() {
        let asked = question(&query("A.Example.")).unwrap();
        assert_eq!(asked.name, "a.example");
        let a = |last| RData::A(A::new(192, 0, 2, last));
        let alias = RData::CNAME(CNAME(name("b.example.")));
        let records = [
            ("a.example.", alias),
            ("b.example.", a(1)),
            ("other.", a(2)),
        ];
        let address = "192.0.2.1".parse().unwrap();
        let said = asked.answer(&answer("a.example.", &records)).unwrap();
        assert_eq!(said.addresses, [(address, 30)]);
        assert_eq!((said.aliases, said.code), (vec!["b.example".to_owned()], 0));
        assert_eq!(said.types, ["CNAME", "A"]);
        assert_eq!(asked.types(), ["A"]);
        assert_eq!(asked.answer(&answer("other.", &records)), None);
        assert_eq!(asked.answer(&query("a.example.")), None);
        assert_eq!(asked.answer(b"\0\x07"), None);
        let missing = asked.answer(&asked.failed(ResponseCode::NXDomain));
        assert_eq!(missing.map(|answer| answer.code), Some(3));
    }

    #[test]
    fn a_denied_query_is_refused() {
        let asked = question(&query("a.example.")).unwrap();
        let refused = Message::from_vec(&asked.refused()).unwrap();
        assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
        assert_eq!(refused.metadata.id, 7);
        assert_eq!(refused.queries, asked.message.queries);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut changed = query("a.example.");
            let at = at.index(changed.len());
            changed[at] = byte;
            for bytes in [bytes, changed] {
                if let Some(asked) = question(&bytes) {
                    let _any = (asked.refused(), asked.types(), asked.answer(&bytes));
                }
            }
        }
    }
}
