#pragma once

#include "common/filter/node.h"

namespace google::protobuf {
class Message;
}

namespace yagura::filter {

// Private to common/filter.
bool Evaluate(const Node& node, const google::protobuf::Message& message);

}  // namespace yagura::filter
