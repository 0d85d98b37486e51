//! The real program, spoken to by a client library that knows nothing of it.
#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use futures_util::StreamExt;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// A broker with a folder of its own; goes with the test.
struct Broker {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Broker {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = tests::broker::free_port();
        settle(dir.path(), port);
        let child = ready(dir.path());
        Self { dir, port, child }
    }

    fn signal(&mut self, signal: Signal) -> std::process::ExitStatus {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        self.child.wait().unwrap()
    }

    fn again(&mut self) {
        self.child = ready(self.dir.path());
    }

    async fn try_connect(&self, user: &str, vhost: &str) -> Result<Connection, lapin::Error> {
        let url = format!("amqp://{user}@127.0.0.1:{}/{vhost}", self.port);
        within(Connection::connect(&url, ConnectionProperties::default())).await
    }

    async fn connect(&self) -> Connection {
        self.try_connect("me:secret", "boss").await.unwrap()
    }

    async fn channel(&self) -> (Connection, Channel) {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        (connection, channel)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settle(dir: &Path, port: u16) {
    let file = dir.join("broker.toml");
    let text = format!("listen = '127.0.0.1:{port}'\nuser = 'me'\npassword = 'secret'\nvhosts = ['boss']\n");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700)).unwrap();
}

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skynet-broker"));
    command.env_clear().arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Starts the program and waits for its newline, here on standard error.
fn ready(dir: &Path) -> Child {
    let mut child = program(dir).env("SKYNET_NOTIFY_FD", "2").spawn().unwrap();
    let mut first = [0];
    child.stderr.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"\n", "ready is one newline");
    child
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("the broker answers")
}

async fn durable(channel: &Channel, name: &str) {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    within(channel.queue_declare(name.into(), options, FieldTable::default())).await.unwrap();
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8]) -> Confirmation {
    publish_with(channel, exchange, key, body, BasicProperties::default()).await
}

async fn publish_with(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Confirmation {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let sent = channel.basic_publish(exchange.into(), key.into(), options, body, properties);
    within(within(sent).await.unwrap()).await.unwrap()
}

async fn consume(channel: &Channel, queue: &str) -> Consumer {
    let options = BasicConsumeOptions::default();
    within(channel.basic_consume(queue.into(), "".into(), options, FieldTable::default())).await.unwrap()
}

async fn next(consumer: &mut Consumer) -> lapin::message::Delivery {
    within(consumer.next()).await.expect("a delivery").unwrap()
}

/// What is ready in a queue, and how many consume it, by passive declare.
async fn count(channel: &Channel, queue: &str) -> (u32, u32) {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = within(channel.queue_declare(queue.into(), options, FieldTable::default())).await.unwrap();
    (queue.message_count(), queue.consumer_count())
}

fn code(error: &lapin::Error) -> u16 {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_id(),
        other => panic!("not an answer of the broker: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_published_is_confirmed_delivered_and_gone_when_acknowledged() {
    let broker = Broker::start();
    let (_connection, channel) = broker.channel().await;
    durable(&channel, "q").await;
    let large = vec![7; 1_000_000];
    for body in [b"one".as_slice(), b"", &large] {
        assert!(matches!(publish(&channel, "", "q", body).await, Confirmation::Ack(None)));
    }
    let mut consumer = consume(&channel, "q").await;
    for body in [b"one".as_slice(), b"", &large] {
        let delivery = next(&mut consumer).await;
        assert!(delivery.data == body && !delivery.redelivered);
        within(delivery.ack(BasicAckOptions::default())).await.unwrap();
    }
    let (_other, other) = broker.channel().await;
    assert_eq!(count(&other, "q").await, (0, 1));
}

#[tokio::test]
async fn a_mandatory_message_that_nothing_takes_comes_back_with_312_and_is_confirmed() {
    let broker = Broker::start();
    let (_connection, channel) = broker.channel().await;
    let Confirmation::Ack(Some(back)) = publish(&channel, "", "nowhere", b"x").await else {
        panic!("not returned")
    };
    assert_eq!((back.reply_code, back.delivery.data.as_slice()), (312, b"x".as_slice()));
}

#[tokio::test]
async fn wrong_use_gets_the_code_that_rabbitmq_gives() {
    let broker = Broker::start();
    let connection = broker.connect().await;
    let channel = || async { connection.create_channel().await.unwrap() };
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let declared = channel().await.queue_declare("none".into(), passive, FieldTable::default()).await;
    assert_eq!(code(&declared.unwrap_err()), 404, "a queue that is not there");
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let kind = lapin::ExchangeKind::Direct;
    let declared =
        channel().await.exchange_declare("none".into(), kind, passive, FieldTable::default()).await;
    assert_eq!(code(&declared.unwrap_err()), 404, "an exchange that is not there");

    durable(&channel().await, "q").await;
    let other = QueueDeclareOptions::default();
    let declared = channel().await.queue_declare("q".into(), other, FieldTable::default()).await;
    assert_eq!(code(&declared.unwrap_err()), 406, "a queue that is not like this");

    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel().await.queue_declare("mine".into(), exclusive, FieldTable::default()).await.unwrap();
    let stranger = broker.connect().await.create_channel().await.unwrap();
    let declared = stranger.queue_declare("mine".into(), exclusive, FieldTable::default()).await;
    assert_eq!(code(&declared.unwrap_err()), 405, "another connection's own queue");

    let selected = channel().await.tx_select().await;
    assert_eq!(code(&selected.unwrap_err()), 540, "transactions");
}

#[tokio::test]
async fn a_wrong_password_gets_403_and_an_unknown_vhost_530() {
    let broker = Broker::start();
    let refused = broker.try_connect("me:wrong", "boss").await.unwrap_err();
    assert_eq!(code(&refused), 403);
    let refused = broker.try_connect("me:secret", "other").await.unwrap_err();
    assert_eq!(code(&refused), 530);
}

#[tokio::test]
async fn what_a_closed_connection_had_not_acknowledged_goes_back_to_its_place_marked() {
    let broker = Broker::start();
    let (_connection, channel) = broker.channel().await;
    durable(&channel, "q").await;
    for body in [b"1", b"2", b"3", b"4"] {
        publish(&channel, "", "q", body).await;
    }
    let (leaving, first) = broker.channel().await;
    within(first.basic_qos(3, BasicQosOptions::default())).await.unwrap();
    let mut consumer = consume(&first, "q").await;
    next(&mut consumer).await;
    let second = next(&mut consumer).await;
    next(&mut consumer).await;
    assert_eq!(count(&channel, "q").await, (1, 1), "prefetch holds back the fourth");
    within(second.ack(BasicAckOptions::default())).await.unwrap();
    next(&mut consumer).await;
    // It is closed when its consumer is gone: lapin 4.12 once closed in order and never said so to who waited for it.
    let _closing = tokio::spawn(async move { leaving.close(200, "".into()).await });
    within(async {
        while count(&channel, "q").await.1 > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    let mut consumer = consume(&channel, "q").await;
    let mut seen = vec![];
    for _ in 0..3 {
        let delivery = next(&mut consumer).await;
        seen.push((delivery.data, delivery.redelivered));
    }
    assert_eq!(seen, [(b"1".to_vec(), true), (b"3".to_vec(), true), (b"4".to_vec(), true)]);
}

#[tokio::test]
async fn nack_gives_back_or_throws_away_all_up_to_its_tag() {
    let broker = Broker::start();
    let (_connection, channel) = broker.channel().await;
    durable(&channel, "q").await;
    for body in [b"1", b"2", b"3"] {
        publish(&channel, "", "q", body).await;
    }
    let get = || async { within(channel.basic_get("q".into(), BasicGetOptions::default())).await.unwrap() };
    let (_one, two) = (get().await.unwrap(), get().await.unwrap());
    let back = BasicNackOptions { multiple: true, requeue: true };
    within(two.delivery.nack(back)).await.unwrap();
    let (one, two) = (get().await.unwrap(), get().await.unwrap());
    assert_eq!((one.delivery.data.as_slice(), one.delivery.redelivered), (b"1".as_slice(), true));
    assert_eq!(two.message_count, 1);
    within(two.delivery.nack(BasicNackOptions { multiple: true, requeue: false })).await.unwrap();
    let three = get().await.unwrap();
    assert_eq!((three.delivery.data.as_slice(), three.delivery.redelivered), (b"3".as_slice(), false));
    assert!(get().await.is_none());
}

#[tokio::test]
async fn a_consumer_is_told_that_its_queue_is_deleted() {
    let broker = Broker::start();
    let (_connection, channel) = broker.channel().await;
    durable(&channel, "q").await;
    let mut consumer = consume(&channel, "q").await;
    let (_other, other) = broker.channel().await;
    within(other.queue_delete("q".into(), QueueDeleteOptions::default())).await.unwrap();
    assert!(within(consumer.next()).await.is_none_or(|delivery| delivery.is_err()), "the consumer ends");
}

#[tokio::test]
async fn topics_route_by_words_also_after_a_restart() {
    let mut broker = Broker::start();
    let (_connection, channel) = broker.channel().await;
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let kind = lapin::ExchangeKind::Topic;
    within(channel.exchange_declare("t".into(), kind, options, FieldTable::default())).await.unwrap();
    durable(&channel, "q").await;
    let bound = channel.queue_bind(
        "q".into(),
        "t".into(),
        "a.*".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    within(bound).await.unwrap();
    assert!(matches!(publish(&channel, "t", "a.b", b"x").await, Confirmation::Ack(None)));
    assert!(matches!(publish(&channel, "t", "b.b", b"x").await, Confirmation::Ack(Some(_))));
    broker.signal(Signal::SIGTERM);
    broker.again();
    let (_connection, channel) = broker.channel().await;
    assert!(matches!(publish(&channel, "t", "a.c", b"y").await, Confirmation::Ack(None)));
    assert_eq!(count(&channel, "q").await.0, 2);
}

#[tokio::test]
async fn a_queue_without_a_name_gets_one_that_no_queue_of_an_earlier_run_has() {
    let mut broker = Broker::start();
    let unnamed = async |channel: &Channel, durable| {
        let options = QueueDeclareOptions { durable, ..Default::default() };
        let queue = within(channel.queue_declare("".into(), options, FieldTable::default())).await.unwrap();
        queue.name().to_string()
    };
    let (_connection, channel) = broker.channel().await;
    let before = unnamed(&channel, true).await;
    publish(&channel, "", &before, b"mine").await;
    broker.signal(Signal::SIGTERM);
    broker.again();
    let (_connection, channel) = broker.channel().await;
    for durable in [true, false] {
        let queue = unnamed(&channel, durable).await;
        assert!(queue.starts_with("amq.gen-") && queue != before, "{queue}, {before}");
    }
    assert_eq!(count(&channel, &before).await.0, 1);
}

#[tokio::test]
async fn a_message_that_has_expired_is_not_delivered() {
    let broker = Broker::start();
    let (_connection, channel) = broker.channel().await;
    durable(&channel, "q").await;
    let expired = BasicProperties::default().with_expiration("0".into());
    publish_with(&channel, "", "q", b"old", expired).await;
    publish(&channel, "", "q", b"new").await;
    let mut consumer = consume(&channel, "q").await;
    assert_eq!(next(&mut consumer).await.data, b"new");
}

#[tokio::test]
async fn what_was_confirmed_survives_kill_9_and_what_was_acknowledged_stays_away() {
    let mut broker = Broker::start();
    let (_connection, channel) = broker.channel().await;
    durable(&channel, "q").await;
    let transient = BasicProperties::default().with_delivery_mode(1).with_message_id("m".into());
    for n in 0..100_u8 {
        let confirmed = publish_with(&channel, "", "q", &[n], transient.clone()).await;
        assert!(matches!(confirmed, Confirmation::Ack(None)));
    }
    let got = within(channel.basic_get("q".into(), BasicGetOptions::default())).await.unwrap().unwrap();
    within(got.delivery.ack(BasicAckOptions::default())).await.unwrap();
    // Changes reach the disk in order: when this one is confirmed, the acknowledgement is there, too.
    publish(&channel, "", "q", &[100]).await;
    broker.signal(Signal::SIGKILL);
    broker.again();

    let (_connection, channel) = broker.channel().await;
    assert_eq!(count(&channel, "q").await.0, 100);
    let mut consumer = consume(&channel, "q").await;
    for n in 1..=100_u8 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.data, [n]);
        let id = delivery.properties.message_id().as_ref().map(|id| id.as_str());
        assert_eq!(id, (n < 100).then_some("m"), "properties survive");
    }
}

#[tokio::test]
async fn a_folder_has_one_broker() {
    let broker = Broker::start();
    let second = program(broker.dir.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(111));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.starts_with("skynet-broker: fatal: cannot lock "), "{said}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_in_one_line() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    settle(dir.path(), broker.port);
    let second = program(dir.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(111));
    let port = broker.port;
    let expected =
        format!("skynet-broker: fatal: cannot listen on 127.0.0.1:{port}: address already in use\n");
    assert_eq!(String::from_utf8(second.stderr).unwrap(), expected);
}

#[tokio::test]
async fn term_and_int_end_it_with_0_and_everything_on_disk() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut broker = Broker::start();
        let (_connection, channel) = broker.channel().await;
        durable(&channel, "q").await;
        publish(&channel, "", "q", b"x").await;
        assert_eq!(broker.signal(signal).code(), Some(0));
        broker.again();
        let (_connection, channel) = broker.channel().await;
        assert_eq!(count(&channel, "q").await.0, 1);
    }
}
