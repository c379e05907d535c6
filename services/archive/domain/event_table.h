#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/eventstore/value.h"
#include "common/filter/sql.h"
#include "services/archive/domain/block_column.h"

namespace yagura::event::v1 {
class Event;
}

namespace yagura::archive {

// How an event lies in the table of events: one column after another, each with its type, how it is
// written and read, and the path by which filters name it.
struct EventColumn {
  std::string name;
  std::string type_name;  // in the store
  std::string codec;      // as in CREATE TABLE
  std::string path;       // in the Event message; empty where filters cannot name it
  filter::ColumnType type;
  NewBlockColumn make;  // as it is written
  std::function<void(const eventstore::Value&, event::v1::Event*)> read;
};

// The last column of the table: when the event may go.
inline constexpr std::string_view kExpires = "expires";
inline constexpr std::string_view kExpiresType = "DateTime('UTC')";

// The columns in the order of inserts and selects; `expires` comes after them. An address of 16
// bytes that maps an IPv4 address comes back as the 4 bytes of that, and "::" as none.
class EventTable {
 public:
  EventTable();

  const std::vector<EventColumn>& columns() const { return columns_; }
  // "id, tenant, ...": for SELECT.
  const std::string& column_list() const { return column_list_; }
  // "INSERT INTO yagura.events (id, ..., expires) FORMAT Native", see EventBlock.
  const std::string& insert_sql() const { return insert_sql_; }
  const filter::ColumnMap& column_map() const { return column_map_; }
  const EventColumn* FindPath(std::string_view path) const;

  // SQL of the value of the original field of that name, "" where an event has none. "$name" in it
  // stands for the bound name.
  const std::string& FieldExpression(std::string_view name) const;

  // A row of a SELECT of column_list.
  void Decode(const eventstore::Row& row, event::v1::Event* event) const;

 private:
  std::vector<EventColumn> columns_;
  std::string column_list_;
  std::string insert_sql_;
  filter::ColumnMap column_map_;
  size_t layout_ = 0;  // index of that column
};

}  // namespace yagura::archive
