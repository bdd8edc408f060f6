//! HTTP requests judged in the kernel, on a connection that plays by TCP's rules or does not.

mod agreement;
mod conversation;
mod heads;
mod rules_of_tcp;
mod taking;
