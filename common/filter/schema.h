#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

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

  // A bare word, folded (common/text/fold.h), is also looked for in what this gives of a message;
  // "" where the search fields alone tell.
  using FoldedText = std::function<std::string(const google::protobuf::Message&)>;
  Schema& Folded(FoldedText text);

  const google::protobuf::Descriptor* descriptor() const { return descriptor_; }
  bool IsIp(std::string_view path) const { return ip_.contains(path); }
  bool IsKeyed(std::string_view path) const { return keyed_.contains(path); }
  const std::set<std::string, std::less<>>& search() const { return search_; }
  const FoldedText& folded_text() const { return folded_text_; }

 private:
  const google::protobuf::Descriptor* descriptor_;
  std::set<std::string, std::less<>> ip_;
  std::set<std::string, std::less<>> keyed_;
  std::set<std::string, std::less<>> search_;
  FoldedText folded_text_;
};

// The schema of yagura.event.v1.Event: core names, `fields.NAME`, bare words search the raw line.
Schema EventSchema();

// What a bare word is looked for in beside the raw line of an event, "" for most: the line folded
// where it is UTF-8 and not ASCII, with escapes such as \u6771 as the characters that they mean
// (they count as such); where it is not UTF-8, message and fields, which ingestion reads in the
// character set of the source, each that is not ASCII folded and with a line end behind it.
class EventFolder {
 public:
  // False where nothing but the raw line counts.
  bool Begin(std::string_view raw);
  void Add(std::string_view text);
  std::string Take() { return std::exchange(text_, {}); }

 private:
  std::string text_;
};

}  // namespace yagura::filter
