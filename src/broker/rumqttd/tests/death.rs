//! What a network client can break, and how it is noticed.

use super::*;

/// The router slices the topic's first byte and panics inside a character.
#[tokio::test]
async fn a_topic_that_kills_the_router_is_noticed() {
    let (broker, address) = start().await;
    let (mut publisher, mut subscriber) = broker.link("air", &filters(&["down"]), 10).await.unwrap();
    let mut victim = Client::connect(address, "victim").await;
    victim.subscribe("#", 0).await;
    assert!(timeout(Duration::from_millis(20), broker.died()).await.is_err());

    let mut hostile = Client::connect(address, "hostile").await;
    hostile.publish("é/x", b"x", 0, false).await;
    let died = timeout(Duration::from_secs(2), broker.died())
        .await
        .expect("noticed within two seconds");
    assert_eq!(died, Died::Cut);
    assert_eq!(soon(subscriber.next()).await, Err(Died::Cut));
    assert!(matches!(
        soon(publisher.publish(message("up", "x"))).await,
        Err(PublishError::Dead(Died::Cut))
    ));
    assert!(matches!(
        publisher.offer(message("up", "x")),
        Err(Refused::Dead(Died::Cut))
    ));
    assert_eq!(soon(broker.probe()).await, Err(Died::Cut));
    assert!(matches!(
        broker.link("late", &[], 1).await,
        Err(LinkError::Dead(Died::Cut))
    ));
    soon(broker.stop()).await;
}

/// rumqttd meets packets that only a server may send with a panic in the connection's own task.
#[tokio::test]
async fn a_panic_in_a_connection_harms_that_connection_alone() {
    let (broker, address) = start().await;
    let mut witness = Client::connect(address, "witness").await;
    witness.subscribe("#", 0).await;
    let five = broker.addresses()[1].address.tcp().unwrap();
    let mut hung_up = 0;
    for first in [0x20, 0x90, 0xb0, 0xd0, 0xf0, 0x00] {
        let mut hostile = Client::connect_v5(five, &format!("hostile-{first}")).await;
        hostile.send(first, &[0, 1, 0, 0]).await;
        let _ = hostile.try_send(0xc0, &[]).await;
        hung_up += u8::from(hostile.read().await.is_none());
    }
    assert!(hung_up > 0);
    let mut client = Client::connect_v5(five, "c").await;
    client.subscribe_v5("x").await;
    witness.publish("a", b"x", 0, false).await;
    assert_eq!(soon(witness.message()).await.payload, b"x");
    assert!(soon(broker.probe()).await.is_ok());
    assert!(timeout(Duration::from_millis(20), broker.died()).await.is_err());
}

/// Whoever gives a link's client id gets its place: it must not be guessed.
#[test]
fn ids_are_clean_and_never_the_same() {
    let (one, two) = (super::super::link::id("a/b #é"), super::super::link::id("a/b #é"));
    assert_ne!(one, two);
    assert!(one.starts_with("mqttyd.a-b---."), "{one}");
}

/// A client id with a '/' is refused, and at the second attempt the listener's mutex is poisoned: from then on
/// it answers nobody.
#[tokio::test]
async fn a_listener_that_answers_nobody_is_noticed() {
    let (broker, address) = start().await;
    for _ in 0..2 {
        let mut hostile = Client::new(tokio::net::TcpStream::connect(address).await.unwrap());
        assert!(hostile.hello("a/b", None).await.is_none());
    }
    let mut client = Client::new(tokio::net::TcpStream::connect(address).await.unwrap());
    assert!(
        client.hello("c", None).await.is_none(),
        "rumqttd got better: the guard is no more needed"
    );
    let died = timeout(Duration::from_secs(2), broker.died())
        .await
        .expect("noticed within two seconds");
    assert_eq!(died, Died::Listener(address));
}
