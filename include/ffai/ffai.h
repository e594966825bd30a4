/** The whole public interface of libffai. */
#ifndef FFAI_H
#define FFAI_H

#include <ffai/bench.h>
#include <ffai/chat.h>
#include <ffai/convert.h>
#include <ffai/device.h>
#include <ffai/generate.h>
#include <ffai/grammar.h>
#include <ffai/hub.h>
#include <ffai/memory.h>
#include <ffai/model.h>
#include <ffai/session.h>
#include <ffai/stage.h>
#include <ffai/status.h>
#include <ffai/tokenizer.h>
#include <ffai/tune.h>

#endif
