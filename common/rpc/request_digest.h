#pragma once

#include <string>

namespace google::protobuf {
class Message;
}

namespace yagura::rpc {

// SHA-256 of the message's deterministic encoding, 32 bytes: whether a repeated request_id comes
// with the same request.
std::string RequestDigest(const google::protobuf::Message& request);

}  // namespace yagura::rpc
