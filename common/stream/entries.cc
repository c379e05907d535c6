#include "common/stream/entries.h"

#include <optional>
#include <utility>

#include "common/redis/reply.h"
#include "common/status/status.h"

namespace yagura::stream {
namespace {

// An XREAD or XRANGE item: [id, [field, value, ...]]. An entry that no producer of ours wrote still
// gets through, so that the handler can refuse it.
StatusOr<Entry> ParseEntry(redis::Reply& item) {
  const auto id = item.items.size() == 2 ? EntryId::Parse(item.items[0].text) : std::nullopt;
  if (!id) return Internal("stream: Redis answered something that is no entry");
  Entry entry{*id, {}, {}};
  std::vector<redis::Reply>& fields = item.items[1].items;
  for (size_t i = 0; i + 1 < fields.size(); i += 2) {
    if (fields[i].text == "k") entry.key = std::move(fields[i + 1].text);
    if (fields[i].text == "p") entry.payload = std::move(fields[i + 1].text);
  }
  if (entry.key.empty()) entry.key = id->ToString();
  return entry;
}

}  // namespace

StatusOr<std::vector<Entry>> ParseEntries(redis::Reply& list) {
  std::vector<Entry> entries;
  entries.reserve(list.items.size());
  for (redis::Reply& item : list.items) {
    YAGURA_ASSIGN_OR_RETURN(Entry entry, ParseEntry(item));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace yagura::stream
