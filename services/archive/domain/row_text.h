#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/batch_codec.h"
#include "common/eventstore/value.h"

namespace yagura::archive {

class BatchRows;

// What the digest of a row is made of, as one text: yagura/archive/v1/proof.proto says byte by byte
// what that is. It comes out alike from what is inserted and from what is read back. What changes
// in the store by itself (expires), or may be derived anew from the rest (fields, layout, folded),
// is not in it.
//
// The columns behind raw by name, in the order of scheme 2: the first has the number 1. A digest
// that covers others, or any in another form, is one of another scheme; these stay as they are.
std::vector<std::string_view> ProvenColumns();

// Of events that are about to be stored. The batch must outlive it. Not thread-safe.
class BatchTexts {
 public:
  explicit BatchTexts(const BatchRows& batch);
  // Valid until the next call.
  std::string_view TextOf(uint16_t row, std::string_view id);

 private:
  struct Part {
    size_t number;  // of kColumns
    const event::Column* column;
    // By the batch's own number of the value: most repeat.
    std::string texts;         // one behind the other
    std::vector<size_t> ends;  // in texts; the first is 0
  };
  const BatchRows& batch_;
  std::vector<Part> parts_;  // what any of the events has
  std::string text_;
  std::string flaws_;
};

// Of what the store has: a SELECT of these columns. `with_columns`: without, it is the text of
// scheme 1, all up to raw.
std::string RowTextSql(bool with_columns);
std::string_view RowId(const eventstore::Row& row, size_t first);
int64_t RowReceiveTime(const eventstore::Row& row, size_t first);
// They begin at `first`. What `text` held is gone.
void RowText(const eventstore::Row& row, size_t first, bool with_columns, std::string* text);

}  // namespace yagura::archive
