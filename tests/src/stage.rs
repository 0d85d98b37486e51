//! A stage for AMQP scenarios: connections that send exactly the frames they are told to and write down all that
//! comes back, so that two brokers can be held against each other.
//!
//! What a broker may choose (names of queues and consumers, the name of the virtual host) is masked.

use crate::broker::Broker;
use crate::waiting::DEADLINE;
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{AMQPClass, channel, connection};
use amq_protocol::types::{AMQPValue, FieldTable};
use regex::Regex;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Channels that a connection asks for.
pub const CHANNELS: u16 = 100;

/// Where a scenario is played: its connections, and what was said and heard.
pub struct Stage {
    port: u16,
    vhost: String,
    login: Vec<u8>,
    user_is: String,
    lines: Vec<Line>,
    masked: Vec<(String, String)>,
    transcript: String,
}

struct Line {
    stream: TcpStream,
    input: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub enum Heard {
    /// A method on a channel.
    Method(u16, AMQPClass),
    /// The connection is closed.
    Closed,
}

impl Stage {
    /// A stage in front of a broker.
    pub fn new(broker: &Broker) -> Self {
        let login = format!("\0{}\0{}", broker.user, broker.password).into_bytes();
        let (port, vhost) = (broker.port, broker.vhost.clone());
        let user_is = format!("user was '{}'", broker.user);
        Self { port, vhost, login, user_is, lines: vec![], masked: vec![], transcript: String::new() }
    }

    /// All that was said (`>`) and heard (`<`).
    pub fn transcript(self) -> String {
        self.transcript
    }

    /// A new connection with the channel 1 open; its number.
    pub fn enter(&mut self) -> usize {
        let login = self.login.clone();
        let vhost = self.vhost.clone();
        let number = self.knock(&login, &vhost, 0);
        assert!(matches!(
            self.read(number),
            Heard::Method(0, AMQPClass::Connection(connection::AMQPMethod::OpenOk(_)))
        ));
        self.open_channel(number, 1);
        number
    }

    /// A connection that wants a heartbeat every so many seconds, as far as `connection.open`.
    pub fn enter_with_heartbeat(&mut self, seconds: u16) -> usize {
        let (login, vhost) = (self.login.clone(), self.vhost.clone());
        self.knock(&login, &vhost, seconds)
    }

    /// Does something that is not written down.
    pub fn quietly(&mut self, scene: impl FnOnce(&mut Self)) {
        let before = self.transcript.len();
        scene(self);
        self.transcript.truncate(before);
    }

    /// Reads until a heartbeat comes. False = the connection is closed.
    pub fn hears_a_heartbeat(&mut self, line: usize) -> bool {
        loop {
            match self.any_frame(line) {
                None => return false,
                Some(AMQPFrame::Heartbeat) => return true,
                Some(_) => {}
            }
        }
    }

    /// A connection that asks for this virtual host, as far as its question.
    pub fn enter_other_vhost(&mut self, vhost: &str) -> usize {
        let login = self.login.clone();
        self.knock(&login, vhost, 0)
    }

    /// A connection as far as `connection.open`, whose answer is not read yet.
    pub fn knock(&mut self, login: &[u8], vhost: &str, heartbeat: u16) -> usize {
        self.knock_as(b"AMQP\0\0\x09\x01", "PLAIN", login, vhost, heartbeat)
    }

    /// The same with another version or mechanism. An empty vhost is the one of the stage.
    pub fn knock_as(
        &mut self,
        greeting: &[u8; 8],
        mechanism: &str,
        login: &[u8],
        vhost: &str,
        heartbeat: u16,
    ) -> usize {
        let vhost = if vhost.is_empty() { self.vhost.clone() } else { vhost.to_owned() };
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        self.lines.push(Line { stream, input: vec![] });
        let number = self.lines.len() - 1;
        self.raw(number, greeting);
        match self.read(number) {
            Heard::Method(0, AMQPClass::Connection(connection::AMQPMethod::Start(start))) => {
                assert_eq!(start.mechanisms.to_string(), "PLAIN AMQPLAIN");
                if greeting[4] != 0 {
                    let none = |value: &AMQPValue| *value == AMQPValue::FieldTable(FieldTable::default());
                    let told = start.server_properties.inner().get("capabilities").is_some_and(|c| !none(c));
                    let (major, minor) = (start.version_major, start.version_minor);
                    self.remark(&format!("version {major}.{minor}, capabilities: {told}"));
                }
            }
            other => panic!("{other:?}"),
        }
        self.send(
            number,
            0,
            AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties: capabilities(),
                mechanism: mechanism.into(),
                response: login.into(),
                locale: "en_US".into(),
            })),
        );
        match self.read(number) {
            Heard::Method(0, AMQPClass::Connection(connection::AMQPMethod::Tune(tune))) => {
                let ok = connection::TuneOk { channel_max: CHANNELS, frame_max: tune.frame_max, heartbeat };
                self.send(number, 0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(ok)));
                let open = connection::Open { virtual_host: vhost.into() };
                self.send(number, 0, AMQPClass::Connection(connection::AMQPMethod::Open(open)));
            }
            other => self.note(number, '<', &format!("{other:?}")),
        }
        number
    }

    /// Opens one more channel.
    pub fn open_channel(&mut self, line: usize, channel: u16) {
        self.send(line, channel, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        let heard = self.read(line);
        let open = matches!(heard, Heard::Method(_, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))));
        assert!(open, "{heard:?} after:\n{}", self.transcript);
    }

    /// Says a method.
    pub fn say(&mut self, line: usize, channel: u16, class: AMQPClass) {
        self.note(line, '>', &format!("{channel} {class:?}"));
        self.send(line, channel, class);
    }

    /// Says a method and hears the answer.
    pub fn ask(&mut self, line: usize, channel: u16, class: AMQPClass) -> Heard {
        self.say(line, channel, class);
        self.hear(line)
    }

    /// Says each of these on a new channel of its own, which the answer may close.
    pub fn ask_each(&mut self, line: usize, classes: impl IntoIterator<Item = AMQPClass>) {
        for (channel, class) in (2..).zip(classes) {
            self.open_channel(line, channel);
            self.ask(line, channel, class);
        }
    }

    /// Publishes.
    pub fn publish(&mut self, line: usize, publish: basic::Publish, properties: AMQPProperties, body: &[u8]) {
        self.note(line, '>', &format!("1 {publish:?} {properties:?} {} bytes", body.len()));
        self.send(line, 1, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
        let header = AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties };
        self.frame(line, &AMQPFrame::Header(1, header));
        for piece in body.chunks(100_000) {
            self.frame(line, &AMQPFrame::Body(1, piece.to_vec()));
        }
    }

    /// Hears the next method, with its content where it has one.
    pub fn hear(&mut self, line: usize) -> Heard {
        let heard = self.read(line);
        match &heard {
            Heard::Closed => self.note(line, '<', "closed"),
            Heard::Method(channel, class) => {
                self.mask_names(class);
                let mut said = format!("{channel} {class:?}");
                if let AMQPClass::Basic(
                    basic::AMQPMethod::Deliver(_)
                    | basic::AMQPMethod::GetOk(_)
                    | basic::AMQPMethod::Return(_),
                ) = class
                {
                    let (properties, body) = self.content(line);
                    let body = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
                    write!(said, " {properties:?} {body:?}").unwrap();
                }
                self.note(line, '<', &said);
                self.answer_a_close(line, *channel, class);
            }
        }
        heard
    }

    /// Hears so many.
    pub fn hear_all(&mut self, line: usize, count: usize) {
        (0..count).for_each(|_| drop(self.hear(line)));
    }

    /// From now on this name stands in the transcript as `mask`.
    pub fn mask(&mut self, name: &str, mask: &str) {
        self.masked.push((name.to_owned(), mask.to_owned()));
    }

    /// Hears a method and its content.
    pub fn hear_content(&mut self, line: usize) -> (Heard, AMQPProperties, Vec<u8>) {
        let heard = self.read(line);
        let (properties, body) = self.content(line);
        (heard, properties, body)
    }

    /// The user's name and the password.
    pub fn account(&self) -> (String, String) {
        let login = String::from_utf8_lossy(&self.login).into_owned();
        let (user, password) = login[1..].split_once('\0').unwrap();
        (user.to_owned(), password.to_owned())
    }

    /// Sends a method as bytes, and hears the answer as bytes.
    pub fn ask_in_bytes(&mut self, line: usize, channel: u8, method: &[u8]) {
        self.note(line, '>', &format!("{channel} {method:?}"));
        let frame = [&[1, 0, channel, 0, 0, 0, method.len() as u8], method, &[0xce]].concat();
        self.raw(line, &frame);
        let answer = self.frame_bytes(line).map_or("closed".into(), |frame| format!("{frame:?}"));
        self.note(line, '<', &answer);
    }

    /// Sends bytes that may be no frame at all.
    pub fn raw(&mut self, line: usize, bytes: &[u8]) {
        // A broker that has closed already is heard of by what is read next.
        let _ = self.lines[line].stream.write_all(bytes);
    }

    /// Closes the socket, as a process that dies.
    pub fn die(&mut self, line: usize) {
        self.lines[line].stream.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Notes something that the scenario found out by itself.
    pub fn remark(&mut self, text: &str) {
        self.transcript.push_str(text);
        self.transcript.push('\n');
    }

    fn note(&mut self, line: usize, direction: char, text: &str) {
        let mut text = text
            .replace(&self.user_is, "user was 'USER'")
            .replace(&format!("'{}'", self.vhost), "'VHOST'")
            .replace(&format!("vhost {} ", self.vhost), "vhost VHOST ");
        for (name, mask) in &self.masked {
            text = text.replace(name, mask);
        }
        let time = Regex::new(r#"(ShortString\("time"\): Timestamp)\(\d+\)"#).unwrap();
        let text = time.replace_all(&text, "$1");
        writeln!(self.transcript, "{line}{direction} {text}").unwrap();
    }

    fn mask_names(&mut self, class: &AMQPClass) {
        use amq_protocol::protocol::queue;
        let (name, kind) = match class {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => (ok.queue.as_str(), "queue"),
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)) => (ok.consumer_tag.as_str(), "tag"),
            _ => return,
        };
        let chosen = name.starts_with("amq.") && !name.starts_with("amq.rabbitmq.reply-to");
        if chosen && !self.masked.iter().any(|(known, _)| known == name) {
            let mask = format!("{kind}-{}", self.masked.len());
            self.masked.push((name.to_owned(), mask));
        }
    }

    fn answer_a_close(&mut self, line: usize, channel: u16, class: &AMQPClass) {
        match class {
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                self.send(line, channel, AMQPClass::Channel(ok));
            }
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) => {
                let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                self.send(line, 0, AMQPClass::Connection(ok));
            }
            _ => {}
        }
    }

    fn send(&mut self, line: usize, channel: u16, class: AMQPClass) {
        self.frame(line, &AMQPFrame::Method(channel, class));
    }

    fn frame(&mut self, line: usize, frame: &AMQPFrame) {
        let bytes = gen_frame(frame)(WriteContext::from(vec![])).unwrap().into_inner().0;
        self.raw(line, &bytes);
    }

    fn content(&mut self, line: usize) -> (AMQPProperties, Vec<u8>) {
        let Some(AMQPFrame::Header(_, header)) = self.next_frame(line) else { panic!("no content header") };
        let mut body = vec![];
        while (body.len() as u64) < header.body_size {
            let Some(AMQPFrame::Body(_, piece)) = self.next_frame(line) else { panic!("no body") };
            body.extend(piece);
        }
        (header.properties, body)
    }

    fn read(&mut self, line: usize) -> Heard {
        match self.next_frame(line) {
            Some(AMQPFrame::Method(channel, class)) => Heard::Method(channel, class),
            None => Heard::Closed,
            other => panic!("neither a method nor the end: {other:?}"),
        }
    }

    /// The next frame that is no sign of life; `None` where the connection is closed.
    fn next_frame(&mut self, line: usize) -> Option<AMQPFrame> {
        loop {
            match self.any_frame(line)? {
                AMQPFrame::Heartbeat => {}
                frame => return Some(frame),
            }
        }
    }

    fn any_frame(&mut self, line: usize) -> Option<AMQPFrame> {
        self.frame_bytes(line).map(|frame| parse_frame(frame.as_slice()).unwrap().1)
    }

    fn frame_bytes(&mut self, line: usize) -> Option<Vec<u8>> {
        let transcript = &self.transcript;
        let Line { stream, input } = &mut self.lines[line];
        loop {
            if input.len() >= 8 {
                let size = u32::from_be_bytes([input[3], input[4], input[5], input[6]]) as usize + 8;
                if input.len() >= size {
                    return Some(input.drain(..size).collect());
                }
            }
            let mut buffer = [0; 64 << 10];
            match stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => input.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                // This program was stopped for a while.
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => panic!("nothing more is heard ({e}) after:\n{transcript}"),
            }
        }
    }
}

fn capabilities() -> FieldTable {
    let mut capabilities = FieldTable::default();
    for name in [
        "consumer_cancel_notify",
        "basic.nack",
        "publisher_confirms",
        "authentication_failure_close",
        "connection.blocked",
    ] {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties
}
