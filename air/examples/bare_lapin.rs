//! A worker of lapin and serde_json alone, as a measure for exo: takes a workitem, sets a field, publishes the reply,
//! waits for the confirm, acknowledges; with a prefetch above 1, the next one meanwhile. `bare_lapin URL QUEUE PREFETCH`.
#![forbid(unsafe_code)]

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().collect();
    let [_, url, queue, prefetch] = words.as_slice() else {
        return Err("usage: bare_lapin url queue prefetch".into());
    };
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    channel.basic_qos(prefetch.parse()?, BasicQosOptions::default()).await?;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries =
        channel.basic_consume(queue.as_str().into(), "bare".into(), options, FieldTable::default()).await?;
    let mut confirms = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(delivery) = deliveries.next() => {
                let delivery = delivery?;
                let mut workitem: serde_json::Value = serde_json::from_slice(&delivery.data)?;
                workitem["fields"]["__result__"] = true.into();
                let reply = serde_json::to_vec(&workitem)?;
                let properties = BasicProperties::default().with_delivery_mode(2);
                let channel = channel.clone();
                confirms.push(async move {
                    let options = BasicPublishOptions::default();
                    let (to, key) = ("".into(), "ruote_workitems".into());
                    channel.basic_publish(to, key, options, &reply, properties).await?.await?;
                    delivery.ack(BasicAckOptions::default()).await
                });
            }
            Some(acknowledged) = confirms.next() => {
                acknowledged?;
            }
            else => return Ok(()),
        }
    }
}
