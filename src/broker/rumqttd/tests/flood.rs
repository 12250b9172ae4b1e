//! Publishers wait for subscribers that lag, which the layer of `report.rs` has to hear.

use super::*;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// Logs of 32 KiB and a client that acknowledges each message: without back-pressure most would be lost.
#[tokio::test]
async fn a_flood_waits_for_a_slow_subscriber_and_not_for_a_dead_one() {
    const COUNT: u32 = 4000;
    let heard = tracing_subscriber::filter::filter_fn(|metadata| {
        metadata.target() == "rumqttd::router::scheduler" && metadata.is_event()
    });
    // Nobody else in these tests has one for the whole process: the router's thread needs it.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(report().with_filter(heard)))
        .unwrap();

    let config = Config {
        rumqttd: Rumqttd {
            segment_size: 4096,
            segments: 8,
            ..Rumqttd::default()
        },
        ..config()
    };
    let broker = Broker::start(&config).await.unwrap();
    let address = broker.addresses()[0].address.tcp().unwrap();
    let mut dead = Client::connect(address, "flood-dead").await;
    dead.subscribe("#", 0).await;
    let mut client = Client::connect(address, "flood-slow").await;
    client.subscribe("up/+", 1).await;

    let mut flood = tokio::task::JoinSet::new();
    for port in 0..4 {
        let (mut publisher, subscriber) = broker.link("port", &[], 1).await.unwrap();
        flood.spawn(async move {
            for n in 0..COUNT {
                let payload = n.to_be_bytes().repeat(8);
                publisher
                    .publish(message(&format!("up/{port}"), payload))
                    .await
                    .unwrap();
            }
            drop(subscriber);
        });
    }
    let mut next = [0; 4];
    for _ in 0..4 * COUNT {
        let got = client.message().await;
        let port = usize::from(got.topic.as_bytes()[3] - b'0');
        assert_eq!(got.payload[..4], u32::to_be_bytes(next[port]), "{}", got.topic);
        next[port] += 1;
    }
    while let Some(done) = flood.join_next().await {
        done.unwrap();
    }
    drop(dead);
}
