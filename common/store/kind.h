#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace yagura::store {

// A declared index: equality on the first fields, then an order. Field paths are those of the
// message ("state", "create_time", "assignee"); a repeated field gives one entry a value.
struct Index {
  std::string name;                   // "by_state"
  std::vector<std::string> equality;  // may be empty
  std::string order;                  // Timestamp, integer, enum or string field; empty: by id
};

// What a resource has to itself within its tenant, such as a serial number.
struct Claim {
  std::string what;  // compared as a whole
  // Resources that say the same here may all have it; nothing: one alone has it.
  std::optional<std::string> group;
  std::string field;    // path in a request, for the error
  std::string refusal;  // for people: "serial number \"X\" is that of another device"
};

// What a service keeps: one kind of resource. The message has string fields `name` and `etag` and
// may have Timestamps `create_time` and `update_time`, which the store sets.
struct Kind {
  std::string area;     // "ticketing"
  std::string kind;     // "ticket": keys are y:{<tenant>}:ticketing:ticket:<id path>
  std::string pattern;  // "tenants/{tenant}/tickets/{ticket}"
  std::vector<Index> indexes;
  int index_version = 1;  // raise when `indexes` changes: a reindex job then runs at start
  // Records nothing in the change feed and so in no Watch, for what is rewritten many times a
  // second.
  bool silent = false;
  // Fields that a bare word of a filter is looked for in; empty: all string fields at the top.
  std::vector<std::string> search;
  // Bytes fields that hold an IP address, for filters.
  std::vector<std::string> addresses;
  // What a resource claims, worked out from it alone. A write with a claim that it did not have and
  // another resource of the tenant has is refused. Raise index_version when this changes: claims of
  // what is stored are made with its index entries.
  std::function<std::vector<Claim>(const google::protobuf::Message&)> claims = {};
};

}  // namespace yagura::store
