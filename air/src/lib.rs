//! The AMQP connection that survives its broker.
