#pragma once

#include <string>
#include <string_view>

#include "common/clock/clock.h"
#include "yagura/notification/v1/delivery.pb.h"

// The signed HTTP POST. A receiver recomputes
//   "v1=" + hex(HMAC-SHA256(secret, timestamp + "." + body))
// over the header X-Yagura-Timestamp (seconds since 1970) and the body as received, compares it
// with X-Yagura-Signature, and refuses old timestamps.
namespace yagura::notification {

std::string WebhookSignature(std::string_view secret, TimePoint time, std::string_view body);
// Seconds since 1970.
std::string WebhookTimestamp(TimePoint time);

// http or https with a host, printable ASCII, no user or password, no fragment, at most 2,000
// bytes.
bool IsWebhookUrl(std::string_view url);

// What an HTTP answer means: 2xx accepted; 408, 425, 429 and 5xx later; a gateway's 502 and 504
// leave open whether the receiver has it; everything else, redirections too, is refused for good.
v1::AttemptResult ClassifyHttp(int code);
// What an SMTP reply means. Replies about ourselves (authentication, encryption) are an operator's
// mistake that will be mended: later.
v1::AttemptResult ClassifySmtp(int code);

}  // namespace yagura::notification
