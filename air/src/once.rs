//! One message to another broker than the one that a [`Link`](crate::Link) is connected to.

use crate::broker::{Broker, NotSent, durable, place, reason};
use lapin::options::ConfirmSelectOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

/// Connects, publishes a persistent message to a durable queue, waits until the broker has it, and disconnects.
///
/// # Errors
/// Why not, in a line that names the broker and never the password.
pub async fn send(url: &str, name: &str, queue: &str, body: Vec<u8>) -> Result<(), String> {
    let uri: AMQPUri = url.parse().map_err(|e| format!("cannot read the broker's url: {e}"))?;
    let place = place(&uri);
    let opened = async {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect(url, properties).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channel.queue_declare(queue.into(), durable(), FieldTable::default()).await?;
        Ok::<_, lapin::Error>((connection, channel))
    };
    let (connection, channel) =
        opened.await.map_err(|e| format!("cannot connect to {place}: {}", reason(&e)))?;
    let sent = Broker::publish(channel, queue.to_owned(), body).await;
    // The message is there or not, whatever becomes of the connection.
    let _ = connection.close(200, ShortString::from("done")).await;
    sent.map_err(|e| match e {
        NotSent::Refused(why) | NotSent::Lost(why) => format!("cannot send to {queue} at {place}: {why}"),
    })
}
