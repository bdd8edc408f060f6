//! DNS messages as far as policy looks into them (RFC 1035).

use std::net::IpAddr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};
use weir_policy::names;

use crate::context::DeniedQuery;

/// The longest time that an address is kept, in seconds: a day.
pub const LONGEST: u32 = 86_400;
/// The most aliases that are followed.
const ALIASES: usize = 16;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Number by which the answer is told.
    pub id: u16,
    /// The name, as [`names::Name`] writes it.
    pub name: String,
    message: Message,
}

/// An address that a name resolves to, and for how many seconds.
pub type Address = (IpAddr, u32);

/// What a server's answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the name resolves to: addresses of the type asked for, at the end of its aliases.
    pub addresses: Vec<Address>,
    /// Names that it leads to, in order.
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
        name: text(query.name())?,
        message,
    })
}

impl Question {
    /// The answer to a query that policy denies.
    pub fn denied(&self, how: DeniedQuery) -> Vec<u8> {
        self.failed(ResponseCode::from_low(how.code() as u8))
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
        let mut answer = Answer {
            code: message.metadata.response_code.into(),
            ..Answer::default()
        };
        for record in &message.answers {
            let kind = record.record_type().to_string();
            if !answer.types.contains(&kind) {
                answer.types.push(kind);
            }
        }
        // An answer that does not repeat the question is not known to answer it.
        let good = message.metadata.response_code == ResponseCode::NoError;
        if good && !message.queries.is_empty() {
            self.resolve(&message.answers, &mut answer);
        }
        Some(answer)
    }

    /// Follows the aliases from the name that was asked for to the records that were asked for: an
    /// answer may carry anything besides.
    fn resolve(&self, records: &[Record], answer: &mut Answer) {
        let [query] = self.message.queries.as_slice() else {
            return;
        };
        if query.query_class() != DNSClass::IN {
            return;
        }
        let of = |owner: &Name| -> Vec<&Record> {
            let same = |record: &&Record| record.dns_class == DNSClass::IN && record.name == *owner;
            records.iter().filter(same).collect()
        };
        let mut name = query.name();
        for _ in 0..=ALIASES {
            let found = of(name);
            let mut aliases = found.iter().filter_map(|record| match &record.data {
                RData::CNAME(alias) => Some(&alias.0),
                _ => None,
            });
            let Some(alias) = aliases.next() else {
                let asked = found
                    .iter()
                    .filter(|r| r.record_type() == query.query_type());
                answer.addresses = asked.filter_map(|record| address(record)).collect();
                return;
            };
            // Two aliases of one name are an error (RFC 2181, 10.1): which one is meant?
            if aliases.any(|other| other != alias) {
                return;
            }
            answer.aliases.extend(text(alias));
            name = alias;
        }
    }
}

/// What a record resolves to, and for how long. A time above 2^31-1 is none (RFC 2181, 8).
fn address(record: &Record) -> Option<Address> {
    let seconds = match i32::try_from(record.ttl) {
        Ok(_) => record.ttl.min(LONGEST),
        Err(_) => 0,
    };
    match (&record.data, record.record_type()) {
        (RData::A(address), RecordType::A) => Some((IpAddr::V4(address.0), seconds)),
        (RData::AAAA(address), RecordType::AAAA) => Some((IpAddr::V6(address.0), seconds)),
        _ => None,
    }
}

/// A name as policy reads it.
fn text(name: &Name) -> Option<String> {
    names::Name::new(name.iter()).map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::{
        op::Query,
        rr::rdata::{A, AAAA, CNAME},
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
        let out_of_order = [
            ("c.example.", a(1)),
            ("b.example.", RData::CNAME(CNAME(name("c.example.")))),
            ("a.example.", RData::CNAME(CNAME(name("B.example.")))),
        ];
        let said = asked.answer(&answer("a.example.", &out_of_order)).unwrap();
        assert_eq!(said.addresses, [(address, 30)]);
        assert_eq!(said.aliases, ["b.example", "c.example"]);
        let missing = asked.answer(&asked.failed(ResponseCode::NXDomain));
        assert_eq!(missing.map(|answer| answer.code), Some(3));
    }

    /// What a hostile server may say, and nothing of it counts.
    #[test]
    fn only_what_answers_the_question_is_learnt() {
        let asked = question(&query("a.example.")).unwrap();
        let a = RData::A(A::new(192, 0, 2, 1));
        let alias = |to: &str| RData::CNAME(CNAME(name(to)));
        let aaaa = RData::AAAA(AAAA("::ffff:10.244.0.7".parse().unwrap()));
        let ring = [("a.example.", alias("b.")), ("b.", alias("a.example."))];
        let fork = [
            ("a.example.", alias("b.")),
            ("a.example.", alias("c.")),
            ("b.", a.clone()),
        ];
        let beside = [("a.example.", alias("b.")), ("a.example.", a.clone())];
        for records in [
            &ring[..],
            &fork,
            &beside,
            &[("a.example.", aaaa)],
            &[("other.", a.clone())],
        ] {
            let said = asked.answer(&answer("a.example.", records)).unwrap();
            assert_eq!(said.addresses, [], "{records:?}");
        }
        let good = [("a.example.", a)];
        let changed = |change: &dyn Fn(&mut Message)| {
            let mut message = Message::from_vec(&answer("a.example.", &good)).unwrap();
            change(&mut message);
            let said = asked.answer(&message.to_vec().unwrap());
            said.map(|said| said.addresses.len())
        };
        assert_eq!(changed(&|_| {}), Some(1));
        let failed =
            |message: &mut Message| message.metadata.response_code = ResponseCode::NXDomain;
        assert_eq!(changed(&failed), Some(0));
        let chaos = |message: &mut Message| message.answers[0].dns_class = DNSClass::CH;
        assert_eq!(changed(&chaos), Some(0));
        assert_eq!(changed(&|message| message.queries.clear()), Some(0));
        let elsewhere = |message: &mut Message| {
            message.additionals = std::mem::take(&mut message.answers);
        };
        assert_eq!(changed(&elsewhere), Some(0));
    }

    #[test]
    fn a_time_is_at_most_a_day() {
        let asked = question(&query("a.example.")).unwrap();
        let mut message = Message::from_vec(&answer(
            "a.example.",
            &[("a.example.", RData::A(A::new(1, 1, 1, 1)))],
        ))
        .unwrap();
        for (told, kept) in [
            (0, 0),
            (86_401, 86_400),
            (0x7fff_ffff, 86_400),
            (0x8000_0000, 0),
            (u32::MAX, 0),
        ] {
            message.answers[0].ttl = told;
            let said = asked.answer(&message.to_vec().unwrap()).unwrap();
            assert_eq!(said.addresses[0].1, kept, "{told}");
        }
    }

    #[test]
    fn a_dot_in_a_label_is_told_from_one_between_labels() {
        let mut message = Message::query();
        let odd = Name::from_labels([&b"A.evil"[..], b"test"]).unwrap();
        message.add_query(Query::query(odd, RecordType::A));
        let asked = question(&message.to_vec().unwrap()).unwrap();
        assert_eq!(asked.name, r"a\046evil.test");
    }

    #[test]
    fn a_denied_query_is_refused() {
        let asked = question(&query("a.example.")).unwrap();
        let no_name = Message::from_vec(&asked.denied(DeniedQuery::NameError)).unwrap();
        assert_eq!(no_name.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(no_name.metadata.id, asked.id);
        let refused = Message::from_vec(&asked.denied(DeniedQuery::Refused)).unwrap();
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
                    let _any = (asked.denied(DeniedQuery::Refused), asked.types(), asked.answer(&bytes));
                }
            }
        }
    }
}
