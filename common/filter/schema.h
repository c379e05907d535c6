#pragma once

#include <set>
#include <string>
#include <string_view>

namespace google::protobuf {
class Descriptor;
}

namespace yagura::filter {

// What a filter may speak about: one message type, and what its types alone do not tell. A value
// type; the descriptor must outlive every filter parsed with it (generated descriptors do).
class Schema {
 public:
  explicit Schema(const google::protobuf::Descriptor* descriptor) : descriptor_(descriptor) {}

  // `path` is a bytes field of 4 or 16 bytes that holds an IP address.
  Schema& Ip(std::string_view path);
  // `path` is a repeated message with `name` and `value`, addressed as "path.NAME".
  Schema& Keyed(std::string_view path);
  // A bare word is looked for in `path`, a string or bytes field; any of several may have it.
  Schema& Search(std::string_view path);

  const google::protobuf::Descriptor* descriptor() const { return descriptor_; }
  bool IsIp(std::string_view path) const { return ip_.contains(path); }
  bool IsKeyed(std::string_view path) const { return keyed_.contains(path); }
  const std::set<std::string, std::less<>>& search() const { return search_; }

 private:
  const google::protobuf::Descriptor* descriptor_;
  std::set<std::string, std::less<>> ip_;
  std::set<std::string, std::less<>> keyed_;
  std::set<std::string, std::less<>> search_;
};

// The schema of yagura.event.v1.Event: core names, `fields.NAME`, bare words search the raw line.
Schema EventSchema();

}  // namespace yagura::filter
