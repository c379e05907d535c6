#pragma once

#include <optional>
#include <string>
#include <string_view>

// Entries of an event stream that carry no events but word to one of its readers, at an exact place
// among the events. Every other reader passes them over.
namespace yagura::event {

// `topic` says whom it is for, without line breaks: "rule-set".
std::string EncodeControl(std::string_view topic, std::string_view body);
bool IsControl(std::string_view payload);
// The body; nothing where the payload is no control entry of that topic. Points into the payload.
std::optional<std::string_view> ControlBody(std::string_view payload, std::string_view topic);

}  // namespace yagura::event
