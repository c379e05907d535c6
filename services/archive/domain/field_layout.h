#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/batch_codec.h"

namespace yagura::event::v1 {
class Event;
}

// An original field whose value is the text of a core column ("srcip" of src.ip) is stored there
// alone. The column `layout` of the event says so: for each such field its core column, its name,
// and its place among the event's fields. All others are in the map `fields`, in their order.
//
//   layout = one behind the other: 0x1e, code of the core column, name, 0x1f, place in decimal
namespace yagura::archive {

// The core columns that may hold fields of this name; none for most names. What has been here once
// stays: stored events rely on it.
std::span<const event::Core> ColumnsForField(std::string_view name);
// All such names.
std::vector<std::string_view> FieldsWithColumns();

// What an event's layout has where the field lies in that column: for SQL and for the writer.
std::string LayoutEntry(event::Core core, std::string_view field);

// The text of a core column's value as a field has it: an IPv4 address, a number, nanoseconds of a
// time, whole seconds of a duration, or the text itself. False where the value has no such text.
bool CoreText(event::Core core, const event::Column& column, size_t value, std::string* text);

// Where the fields of a batch's events go.
class FieldLayouts {
 public:
  // One of the ways in which events of the batch lie.
  struct Layout {
    std::string text;
    std::vector<uint16_t> stored;  // sources that go into the map, in order
  };

  FieldLayouts() = default;
  // `core` gives the batch's column of a core; rows 0..size-1.
  template <typename CoreColumn>
  FieldLayouts(const event::FieldTable& fields, size_t size, const CoreColumn& core) {
    Prepare(fields);
    for (Candidate& candidate : candidates_) candidate.column = &core(candidate.core);
    Assign(fields, size);
  }

  const std::vector<Layout>& layouts() const { return layouts_; }
  // Index into layouts().
  size_t Of(size_t row) const { return rows_[row]; }

 private:
  // A field and a core column that may be the same.
  struct Candidate {
    uint16_t source;
    event::Core core;
    const event::Column* column = nullptr;
    std::vector<std::string> texts;  // by the column's own number of the value; [0] of none
    std::vector<bool> has_text;
  };
  void Prepare(const event::FieldTable& fields);
  void Assign(const event::FieldTable& fields, size_t size);
  bool Same(const event::FieldTable& fields, const Candidate& candidate, size_t row) const;
  Layout Make(const event::FieldTable& fields, const std::vector<uint16_t>& order,
              std::string_view choices) const;

  std::vector<Candidate> candidates_;
  std::vector<Layout> layouts_;
  std::vector<uint32_t> rows_;
};

// Puts the fields that `layout` names back among those of the map, which `event` has; its core must
// be there already.
void RestoreFields(std::string_view layout, event::v1::Event* event);

}  // namespace yagura::archive
