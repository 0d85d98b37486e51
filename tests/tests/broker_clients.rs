//! The Python clients pika, aio-pika and Celery, as they come from PyPI, on skynet-broker; the same on RabbitMQ,
//! which shows that the scripts ask for nothing that is ours alone.

use std::process::Command;
use tests::Sandbox;
use tests::broker::Broker;

fn works_with(client: &str, broker: &Broker) {
    let checkout = tests::checkout();
    let python = checkout.join("target/tests/venv/bin/python");
    assert!(python.exists(), "no {}: run `tests/setup` first", python.display());
    let script = checkout.join("tests/clients").join(client);
    let done = Command::new(python)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .arg(broker.url())
        .output()
        .expect("Python starts");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(out, "fine\n", "{client}: {err}");
}

fn ours(client: &str) {
    let sandbox = Sandbox::new();
    works_with(client, &Broker::skynet(&sandbox));
}

#[test]
fn pika_works_with_ours() {
    ours("with_pika.py");
}

#[test]
fn pika_works_with_rabbitmq() {
    works_with("with_pika.py", &Broker::rabbitmq());
}

#[test]
fn aio_pika_works_with_ours() {
    ours("with_aio_pika.py");
}

#[test]
fn aio_pika_works_with_rabbitmq() {
    works_with("with_aio_pika.py", &Broker::rabbitmq());
}

#[test]
fn celery_works_with_ours() {
    ours("with_celery.py");
}

#[test]
fn celery_works_with_rabbitmq() {
    works_with("with_celery.py", &Broker::rabbitmq());
}
